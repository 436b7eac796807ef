// Command image wraps static programs into an image, without Docker: an OCI
// archive for all platforms, an archive for "docker load" for each, and a list
// of what is inside (SPDX). The same input gives the same bytes. It is a module
// of its own, so that the project does not depend on what it is made with.
package main
