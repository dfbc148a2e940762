"""OneLLM (arXiv 2312.03700; csuhan/OneLLM at 8587a47), cut into parts; the big are shared."""
