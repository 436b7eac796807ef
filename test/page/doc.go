// Package page drives the admin page in a real browser, Chromium without a
// window, against a real API server: what a person sees, does with a keyboard,
// and must never be able to trigger. One test goes through a life with the
// programs of make run. In all others nothing rents; objects are written as the
// operator would write them.
package page
