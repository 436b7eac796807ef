// Command e2e installs Warmpool in a real cluster, with the simulator in place
// of Vast.ai, and asserts that it lives through what clusters do to it: pods
// that are killed, networks that are cut, upgrades, an uninstall. It takes a
// kubeconfig, or brings up a cluster of one node (package node) by itself.
// docs/guides/end-to-end-test.md explains it.
package main
