"""The user's table of attributes: what is known of them, and what each vendor calls them."""
