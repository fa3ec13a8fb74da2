package redistest

import "syscall"

// attributes make a server end with the tests that started it, also when those are killed
// or run out of time, and so end without a clean-up.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
