"""The `nn` dialect and fake quantisation as functions of torch, in the calling convention of `OpDef.evaluate`."""
