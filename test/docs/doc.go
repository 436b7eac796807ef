// Package docs holds tests that compare the documentation with the code: what
// people look up must be there. It exports nothing.
package docs
