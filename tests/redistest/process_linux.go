package redistest

import "syscall"

// attributes end a server together with its tests, also if the tests are killed or time out
// and so skip the clean-up.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
