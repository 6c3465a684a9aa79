"""The TPU paper's questions, asked of the simulator: its workloads, its what-ifs, its response times."""
