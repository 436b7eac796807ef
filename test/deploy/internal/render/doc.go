// Package render renders the chart of this repository with Helm's own library, for
// the tests of this module.
package render
