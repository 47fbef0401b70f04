"""One module per table or figure of the paper; publishing a zoo entry with its card."""
