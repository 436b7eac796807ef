// Package installation does what is done once with a whole installation: Check
// says whether it works, and End ends what a release of the chart has made before
// the manager goes, because nobody could end it afterwards.
//
// It reads and deletes objects and leaves everything else to the controllers. It
// imports the API types and internal/fleet.
package installation
