"""The only door to torch, transformers and safetensors; imported by child processes, never by a worker."""
