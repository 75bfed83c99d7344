"""What the flow tests stand on: the binary under test, its peers and a strict wire reader."""
