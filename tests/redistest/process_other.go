//go:build !linux

package redistest

import "syscall"

// attributes is nil: a server outlives tests that end without a clean-up.
func attributes() *syscall.SysProcAttr { return nil }
