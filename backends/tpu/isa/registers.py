"""The configuration registers: 32 bits each, written by CFG, read by every later instruction of their unit.

An instruction takes the values along when it is issued, so a later CFG does not disturb it. All are 0 at the start.
"""

from __future__ import annotations

from enum import IntEnum

REGISTER_COUNT = 80


class Register(IntEnum):
    """M_ registers belong to MMC, A_ to the activation unit's instructions, H_ to the host's. Strides are in bytes.

    F32 marks bits of a float32 number, I32 a signed number; the rest are unsigned.
    """

    # MMC: rows of the systolic input
    M_K = 0  # length of the sum: rows of the tile used are min(array, M_K - first_element)
    M_PIXEL_STRIDE = 1
    M_CHANNELS = 2  # elements a tap of the window contributes
    M_KERNEL_WIDTH = 3  # taps in a row of the window
    M_GRID_WIDTH = 4  # positions in a row of the output
    M_GRID_HEIGHT = 5
    M_STRIDE_Y = 6
    M_STRIDE_X = 7
    M_PAD_TOP = 8  # I32
    M_PAD_LEFT = 9  # I32
    M_DILATION_Y = 10
    M_DILATION_X = 11
    M_HEIGHT = 12  # of the image
    M_WIDTH = 13
    M_ROW_STRIDE = 14
    M_IMAGE_STRIDE = 15
    M_PAD_VALUE = 16  # I32: what a position outside the image reads as

    # ACT, POL, VEC, DWC: values and where they go
    A_PARAMETERS = 20  # address in parameter memory: {i32 bias, f32 multiplier} for each lane
    A_ZERO_POINT = 21  # I32
    A_LOW = 22  # I32
    A_HIGH = 23  # I32
    A_FUNCTION = 24
    A_INVERSE_SCALE = 25  # F32: float32(1 / scale), read with HARD_SWISH and HARD_SIGMOID
    A_VALUE_TYPE = 26  # ElementType of the rounded value, in front of the table
    A_OUT_TYPE = 27  # ElementType stored
    A_TABLE = 28  # address in parameter memory: 256 entries of A_OUT_TYPE
    A_OUT_STRIDE = 29  # between pixels
    A_GRID_WIDTH = 30
    A_GRID_HEIGHT = 31
    A_PATCH_CHANNELS = 32  # with SCATTER: lanes of one pixel of the patch
    A_PATCH_WIDTH = 33  # pixels in a row of the patch
    A_PATCH_STRIDE_Y = 34  # pixels between patches
    A_PATCH_STRIDE_X = 35
    A_OUT_HEIGHT = 36  # of the image stored to: pixels outside are not written
    A_OUT_WIDTH = 37
    A_OUT_ROW_STRIDE = 38
    A_OUT_IMAGE_STRIDE = 39

    # POL, DWC: the window
    A_SOURCE = 40  # UB address of pixel (0, 0) of image 0, first channel
    A_SOURCE_TYPE = 41
    A_SOURCE_ZERO_POINT = 42  # I32; DWC reads it outside the image
    A_RATIO = 43  # F32: float32(x_scale / scale)
    A_KERNEL_HEIGHT = 44
    A_KERNEL_WIDTH = 45
    A_STRIDE_Y = 46
    A_STRIDE_X = 47
    A_PAD_TOP = 48  # I32
    A_PAD_LEFT = 49  # I32
    A_DILATION_Y = 50
    A_DILATION_X = 51
    A_HEIGHT = 52
    A_WIDTH = 53
    A_SOURCE_PIXEL_STRIDE = 54
    A_SOURCE_ROW_STRIDE = 55
    A_SOURCE_IMAGE_STRIDE = 56
    A_WEIGHTS = 57  # DWC: address in parameter memory: i8 [taps][lanes]

    # VEC
    A_A_TYPE = 60
    A_A_ZERO_POINT = 61  # I32
    A_A_RATIO = 62  # F32
    A_A_STRIDE = 63
    A_B_BASE = 64
    A_B_TYPE = 65
    A_B_ZERO_POINT = 66  # I32
    A_B_RATIO = 67  # F32
    A_B_STRIDE = 68  # 0: the same row for all
    A_B_LANE_STRIDE = 69  # 0: the same element for all lanes of a row; else the size of an element

    # RHM_ALT, WHM_ALT
    H_BUFFER_STRIDE = 72
    H_HOST_STRIDE = 73


FLOAT_REGISTERS = frozenset({Register.A_INVERSE_SCALE, Register.A_RATIO, Register.A_A_RATIO, Register.A_B_RATIO})
"""Registers that hold the bits of a float32 number."""

SIGNED_REGISTERS = frozenset(
    {
        Register.M_PAD_TOP,
        Register.M_PAD_LEFT,
        Register.M_PAD_VALUE,
        Register.A_ZERO_POINT,
        Register.A_LOW,
        Register.A_HIGH,
        Register.A_SOURCE_ZERO_POINT,
        Register.A_PAD_TOP,
        Register.A_PAD_LEFT,
        Register.A_A_ZERO_POINT,
        Register.A_B_ZERO_POINT,
    }
)
"""Registers that hold a signed number, in two's complement."""
