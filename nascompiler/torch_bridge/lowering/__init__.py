"""The ops of the `nn` dialect as functions of torch, in the calling convention of `OpDef.evaluate`."""
