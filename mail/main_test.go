package mail

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain checks that no session outlives its message.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
