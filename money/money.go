// Package money holds amounts of money as whole minor units of a currency, and reads and writes
// them as decimal texts. No amount is ever a floating-point number.
//
// It imports none of our packages. Entry points: Parse, Money and its methods, ParseCurrency.
package money

import (
	"fmt"
	"strconv"
	"strings"
)

// Most is the largest amount, in minor units: fifteen digits. Sums of thousands of such amounts
// fit an int64.
const Most = 999_999_999_999_999

// Decimal is a number as a decimal text, such as "8.28": an optional minus, digits, and digits
// after a point. ParseDecimal checks its form.
type Decimal string

// ParseDecimal checks that text is a Decimal.
func ParseDecimal(text string) (Decimal, error) {
	whole, fraction, point := strings.Cut(strings.TrimPrefix(text, "-"), ".")
	if !digits(whole) || point && !digits(fraction) {
		return "", fmt.Errorf("%.40q is no Decimal: expected digits with an optional point, such as \"8.28\"", text)
	}
	return Decimal(text), nil
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// Currency is the code of a currency in ISO 4217, such as EUR.
type Currency string

// ParseCurrency checks that code is an active currency of ISO 4217 with at most three digits after
// the point.
func ParseCurrency(code string) (Currency, error) {
	if len(code) != 3 || !strings.Contains(currencies, " "+code+" ") {
		return "", fmt.Errorf("%.20q is no currency: expected a code of ISO 4217, such as EUR", code)
	}
	return Currency(code), nil
}

// Exponent is the number of digits after the point: the minor unit is 10 to the power of -Exponent.
func (c Currency) Exponent() int {
	switch {
	case strings.Contains(withoutDigits, " "+string(c)+" "):
		return 0
	case strings.Contains(withThreeDigits, " "+string(c)+" "):
		return 3
	}
	return 2
}

// The active currencies of ISO 4217, without precious metals, testing codes, funds, and those with
// four digits (https://www.six-group.com/en/products-services/financial-information/data-standards.html,
// list one). The exponents are those of the same list.
const (
	withoutDigits   = " BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF "
	withThreeDigits = " BHD IQD JOD KWD LYD OMR TND "
	currencies      = withoutDigits + withThreeDigits +
		" AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BRL BSD BTN BWP BYN BZD" +
		" CAD CDF CHF CNY COP CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP" +
		" GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD" +
		" LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD PAB" +
		" PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC" +
		" SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD UYU UZS VED VES WST XCD YER ZAR ZMW ZWG "
)

// Money is an amount in a currency.
type Money struct {
	Minor    int64    `bson:"minor"` // in minor units: 828 is 8.28 EUR
	Currency Currency `bson:"currency"`
}

// Parse reads an amount exactly. It refuses digits beyond the currency's minor unit, unless they
// are zeros, and amounts beyond Most.
func Parse(amount Decimal, c Currency) (Money, error) {
	if _, err := ParseDecimal(string(amount)); err != nil {
		return Money{}, err
	}
	text, negative := strings.CutPrefix(string(amount), "-")
	whole, fraction, _ := strings.Cut(text, ".")
	fraction = strings.TrimRight(fraction, "0")
	exponent := c.Exponent()
	if len(fraction) > exponent {
		return Money{}, fmt.Errorf("%.40s has more digits than %s has: at most %d after the point", amount, c, exponent)
	}
	number := strings.TrimLeft(whole+fraction+strings.Repeat("0", exponent-len(fraction)), "0")
	if number == "" {
		return Money{0, c}, nil
	}
	minor, err := strconv.ParseInt(number, 10, 64)
	if err != nil || minor > Most {
		return Money{}, fmt.Errorf("%.40s is too much: at most %s %s", amount, Money{Most, c}.Amount(), c)
	}
	if negative {
		minor = -minor
	}
	return Money{minor, c}, nil
}

// Amount writes the amount with all digits of its currency: "8.20", and "820" for JPY.
func (m Money) Amount() Decimal {
	sign, minor := "", uint64(m.Minor)
	if m.Minor < 0 {
		sign, minor = "-", -minor
	}
	exponent := m.Currency.Exponent()
	text := strconv.FormatUint(minor, 10)
	if exponent == 0 {
		return Decimal(sign + text)
	}
	if missing := exponent + 1 - len(text); missing > 0 {
		text = strings.Repeat("0", missing) + text
	}
	at := len(text) - exponent
	return Decimal(sign + text[:at] + "." + text[at:])
}
