"""Looking at networks and machines: graph pictures, parameter tables, what computes here, timed convolutions."""
