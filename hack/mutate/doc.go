// Command mutate shows that every safety gate matters: it takes out one gate at
// a time and demands that the test named for it fails.
//
// A gate is a condition in shipped code that stands between us and money, or
// between us and a wrong end. A directive on the line above marks it:
//
//	//warmpool:gate spend-lease-fresh
//
// The list in gates.go says of each what it prevents and which test notices its
// loss. Marks and list must agree one to one.
//
// It imports the standard library only, and nothing imports it.
package main
