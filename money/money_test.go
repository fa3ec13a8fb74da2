package money

// Tests of reading and writing amounts.

import (
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestAnAmountIsReadExactlyOrRefused(t *testing.T) {
	cases := map[string]struct {
		reason   string
		amount   Decimal
		currency Currency
		want     int64
		refused  string // a part of the message; "" if it is read
	}{
		"Cents":     {"8.28 * 100 is 827.9999… in floating point", "8.28", "EUR", 828, ""},
		"Whole":     {"digits that are missing are zeros", "8", "EUR", 800, ""},
		"One":       {"so is the second", "8.2", "EUR", 820, ""},
		"Zeros":     {"zeros too many change nothing", "8.2800", "EUR", 828, ""},
		"Leading":   {"nor do those in front", "008.28", "EUR", 828, ""},
		"Yen":       {"it has no minor unit", "828", "JPY", 828, ""},
		"YenZeros":  {"and its decimals are nothing", "828.00", "JPY", 828, ""},
		"Dinar":     {"it has a thousand", "8.285", "KWD", 8285, ""},
		"Negative":  {"a difference", "-0.01", "EUR", -1, ""},
		"Zero":      {"there is one zero", "-0.00", "EUR", 0, ""},
		"Most":      {"the limit itself", "9999999999999.99", "EUR", Most, ""},
		"More":      {"one cent beyond", "10000000000000.00", "EUR", 0, "at most 9999999999999.99 EUR"},
		"Overflow":  {"beyond an int64", "99999999999999999999999", "EUR", 0, "too much"},
		"Fraction":  {"there is no tenth of a cent", "8.281", "EUR", 0, "at most 2 after the point"},
		"YenCents":  {"there is no hundredth of a yen", "8.28", "JPY", 0, "at most 0 after the point"},
		"Comma":     {"which of the two?", "8,28", "EUR", 0, "is no Decimal"},
		"Exponent":  {"a Decimal is no floating-point number", "1e3", "EUR", 0, "is no Decimal"},
		"Plus":      {"one number has one text", "+1", "EUR", 0, "is no Decimal"},
		"Point":     {"digits are missing", "8.", "EUR", 0, "is no Decimal"},
		"NoWhole":   {"digits are missing", ".5", "EUR", 0, "is no Decimal"},
		"Empty":     {"all are missing", "", "EUR", 0, "is no Decimal"},
		"Space":     {"no digit", "8 ", "EUR", 0, "is no Decimal"},
		"TwoMinus":  {"one minus", "--8", "EUR", 0, "is no Decimal"},
		"OtherZero": {"a digit of another script", "٣", "EUR", 0, "is no Decimal"},
	}
	for name, c := range cases {
		got, err := Parse(c.amount, c.currency)
		switch {
		case c.refused != "":
			if err == nil || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%s: %v, %v although %s", name, got, err, c.reason)
			}
		case err != nil || got != (Money{c.want, c.currency}):
			t.Errorf("%s: %v, %v; want %d, since %s", name, got, err, c.want, c.reason)
		}
	}
}

func TestWhatIsWrittenIsReadAgain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := Money{rapid.Int64Range(-Most, Most).Draw(t, "minor"), rapid.SampledFrom([]Currency{"EUR", "JPY", "KWD"}).Draw(t, "currency")}
		text := m.Amount()
		again, err := Parse(text, m.Currency)
		if err != nil || again != m {
			t.Fatalf("%v is %q, which is %v, %v", m, text, again, err)
		}
		unit := new(big.Rat).SetFrac(big.NewInt(1), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(m.Currency.Exponent())), nil))
		value, ok := new(big.Rat).SetString(string(text))
		if want := new(big.Rat).Mul(big.NewRat(m.Minor, 1), unit); !ok || value.Cmp(want) != 0 {
			t.Fatalf("%q is %v, not %v", text, value, want)
		}
	})
}

func TestACurrencyIsOneOfISO4217(t *testing.T) {
	for code, exponent := range map[string]int{"EUR": 2, "USD": 2, "JPY": 0, "ISK": 0, "KWD": 3, "TND": 3, "ZWG": 2} {
		c, err := ParseCurrency(code)
		if err != nil || c.Exponent() != exponent {
			t.Errorf("%s: %v, %d digits", code, err, c.Exponent())
		}
	}
	for _, code := range []string{"", "eur", "EURO", "XXX", "CLF", "E R", " EU", "DEM"} {
		if _, err := ParseCurrency(code); err == nil {
			t.Errorf("%q is taken for a currency", code)
		}
	}
}
