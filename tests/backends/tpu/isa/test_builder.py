"""The builder leaves out configuration that changes nothing, and packs neighbours."""

from nascompiler.backends.tpu.isa import ProgramBuilder, assemble


def test_registers_are_set_once_and_together() -> None:
    builder = ProgramBuilder()
    builder.configure(M_K=9, M_CHANNELS=3, M_PIXEL_STRIDE=4, A_LOW=-128, A_RATIO=0.5)
    builder.configure(M_K=9, M_CHANNELS=5)
    expected = assemble(
        """
        CFG M_K=9 M_PIXEL_STRIDE=4 M_CHANNELS=3
        CFG A_LOW=-128
        CFG A_RATIO=0.5
        CFG M_CHANNELS=5
        IRQ
        HLT
        """
    )
    assert builder.finish().tobytes() == expected.tobytes()


def test_methods_write_what_assembler_writes() -> None:
    builder = ProgramBuilder()
    builder.read_host(0x100, 64, 70000)
    builder.read_weights(128, rows=3, columns=5, useful=9, tiles=2)
    builder.read_parameters(8, 192, 16)
    builder.multiply(4, 0x100, 7, flags=3, first_element=8, position=9)
    builder.activate(4, 0x200, 7, 5, flags=1, position=9)
    builder.pool(0x200, 3, 4, flags=4, position=1)
    builder.vector(2, 0x300, 0x400, 5, 6)
    builder.depthwise(0x500, 2, 8, position=3)
    builder.write_host(0x200, 0, 10)
    expected = assemble(
        """
        RHM buffer=0x100 host=64 bytes=70000
        RDW tiles=2 rows=3 columns=5 useful=9 dram=128
        RDP parameter=8 dram=192 bytes=16
        MMC.new_tile.accumulate accumulator=4 buffer=0x100 length=7 first_element=8 position=9
        ACT.scatter accumulator=4 buffer=0x200 length=7 lanes=5 position=9
        POL.average buffer=0x200 length=3 lanes=4 position=1
        VEC function=add buffer=0x300 source=0x400 length=5 lanes=6
        DWC buffer=0x500 length=2 lanes=8 position=3
        WHM buffer=0x200 host=0 bytes=10
        IRQ
        HLT
        """
    )
    assert builder.finish().tobytes() == expected.tobytes()
