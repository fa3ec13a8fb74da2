package email

import "strings"

func Canonical(s string) (string, error) { return strings.ToLower(strings.TrimSpace(s)), nil }
