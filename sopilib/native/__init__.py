"""The C++ part. `_native` is built by the package's installation."""
