"""Positions of moving agents, made into what a forecaster takes."""
