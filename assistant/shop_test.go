package assistant

import "testing"

func TestShop(t *testing.T) {
	a, err := Shop()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range a.Test(t.Context()) {
		t.Error(f)
	}
}
