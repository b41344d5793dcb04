"""A benchmark as text: in the terminal, in Markdown, as a page with its charts, beside an earlier one."""
