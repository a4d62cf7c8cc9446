"""Load for the service, in processes of its own: a generator over REST and gRPC, and what it is compared with."""
