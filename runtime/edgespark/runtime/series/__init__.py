"""Time series at the nodes of a graph, made into what a forecaster takes."""
