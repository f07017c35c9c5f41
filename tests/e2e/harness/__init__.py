"""What the end-to-end tests are made of: upstreams, images, clients, and the product as a process."""
