"""How well segmentation finds what people marked: truth readers, metrics, pictures of every error."""
