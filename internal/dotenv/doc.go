// Package dotenv reads .env files as the legacy proxy and people write them. It
// is for make run and for the move from the legacy system; nothing in a cluster
// reads such a file. It imports nothing of ours.
//
// What it reads are secrets: no error shows a value or a part of one.
package dotenv
