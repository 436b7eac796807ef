package main

// reasons says why the operator has rights that this test does not come to need,
// in the words of right.String.
func reasons() map[string]string {
	return map[string]string{}
}
