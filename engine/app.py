"""The one place that knows every class: configuration in, wired engine out."""
