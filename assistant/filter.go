package assistant

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

var filterNames = []string{"date", "days", "default", "lower", "money", "name", "upper"}

func checkFilter(f filter) error {
	switch f.name {
	case "date":
		if f.arg != "" && f.arg != "short" && f.arg != "long" && f.arg != "iso" {
			return fmt.Errorf("template: date(%q): want short, long or iso", f.arg)
		}
	case "days":
		if n, err := strconv.Atoi(f.arg); err != nil || n < -3650 || n > 3650 {
			return fmt.Errorf("template: days(%q): want a whole number of days, at most ten years", f.arg)
		}
	case "money":
		if len(f.arg) != 3 {
			return fmt.Errorf("template: money(%q): want a currency such as 'CNY' (ISO 4217)", f.arg)
		}
	case "default", "lower", "name", "upper":
	default:
		if near := nearest(f.name, filterNames); near != "" {
			return fmt.Errorf("template: unknown filter %q; did you mean %q?", f.name, near)
		}
		return fmt.Errorf("template: unknown filter %q; known are %s", f.name, strings.Join(filterNames, ", "))
	}
	return nil
}

// filter carries out one filter in the language of the turn. What a filter cannot read stays as it is.
func (t *turn) filter(f filter, v value) value {
	if f.name == "default" {
		if v.kind == nilKind {
			return text(f.arg)
		}
		return v
	}
	if v.kind == nilKind {
		return v
	}
	switch f.name {
	case "date":
		if at, ok := parseDate(v.text, t.a.def.zone); ok {
			return text(writeDate(at, f.arg, t.lang))
		}
	case "days":
		if at, ok := parseDate(v.text, t.a.def.zone); ok {
			n, _ := strconv.Atoi(f.arg)
			return text(at.AddDate(0, 0, n).Format(time.RFC3339))
		}
	case "money":
		if n, ok := asNumber(v); ok {
			return text(writeMoney(n, f.arg, t.lang))
		}
	case "name":
		return text(t.a.display(v.String(), t.lang))
	case "upper":
		return text(strings.ToUpper(v.String()))
	case "lower":
		return text(strings.ToLower(v.String()))
	}
	return v
}

func asNumber(v value) (float64, bool) {
	if v.kind == numberKind {
		return v.number, true
	}
	n, err := strconv.ParseFloat(v.text, 64)
	return n, v.kind == textKind && err == nil
}

func parseDate(s string, zone *time.Location) (time.Time, bool) {
	if at, err := time.Parse(time.RFC3339, s); err == nil {
		return at.In(zone), true
	}
	at, err := time.ParseInLocation(time.DateOnly, s, zone)
	return at, err == nil
}

func writeDate(at time.Time, form, lang string) string {
	switch {
	case form == "iso":
		return at.Format(time.DateOnly)
	case form == "long" && lang == chinese:
		return at.Format("2006年1月2日")
	case form == "long":
		return at.Format("2 January 2006")
	case lang == chinese:
		return at.Format("1月2日")
	}
	return at.Format("2 Jan")
}

var currencySigns = map[string]string{"CNY": "¥", "JPY": "¥", "USD": "$", "EUR": "€", "GBP": "£"}

func writeMoney(n float64, currency, lang string) string {
	digits := 2
	if currency == "JPY" || currency == "KRW" {
		digits = 0
	}
	amount := strconv.FormatFloat(n, 'f', digits, 64)
	if currency == "CNY" && lang == chinese {
		return amount + " 元"
	}
	if sign := currencySigns[currency]; sign != "" {
		return sign + amount
	}
	return currency + " " + amount
}
