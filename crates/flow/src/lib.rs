//! Moving records between databases, files and services.
