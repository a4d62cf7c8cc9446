"""Generated messages and stubs of the gRPC services. The protos are in clip_har/serving/rpc/protos."""
