// Package render renders the chart of this repository with Helm's own library and
// kustomizations with kubectl, for the tests of this module.
package render
