package till

import "testing"

func TestPay(t *testing.T) {
	till := Till{Balance: 10}
	if till.Pay(11) || !till.Pay(4) || till.Balance != 6 {
		t.Errorf("the till is %+v", till)
	}
}

func TestKinds(t *testing.T) {
	if _, known := Kinds()["penny"]; !known {
		t.Error("a penny is not known")
	}
}

func TestLimits(t *testing.T) {
	if Limits()[0](100) {
		t.Error("100 is no small amount")
	}
}
