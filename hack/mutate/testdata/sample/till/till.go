// Package till is what the tests of mutate take gates out of.
package till

// Till holds money.
type Till struct {
	Balance int
	Locked  bool
}

// Pay takes an amount out, and says whether it did.
func (t *Till) Pay(amount int) bool {
	//warmpool:gate till-locked
	if t.Locked {
		return false
	}
	//warmpool:gate till-balance
	//warmpool:gate till-amount
	if amount > t.Balance || amount < 0 {
		return false
	}
	//warmpool:gate till-books
	t.Balance -= amount
	return true
}

// Limits are the checks of a large amount, in their order.
func Limits() []func(int) bool {
	return []func(int) bool{
		func(amount int) bool { return amount < 100 },
	}
}

// Kinds are the coins that it takes.
func Kinds() map[string]bool {
	return map[string]bool{
		"cent": true,
		//warmpool:gate till-no-foreign-coin
		"penny": false,
	}
}
