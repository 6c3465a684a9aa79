"""Side by side: nascompiler and other runtimes on the same networks, images and CPU. See README.md."""
