package auth

import (
	"fmt"
	"net/netip"

	"github.com/sirupsen/logrus"

	"github.com/orbitd/orbitd/pkg/message"
)

// maxReason bounds what is logged of why a login was refused, in bytes: it has names that
// somebody has made up.
const maxReason = 400

// LogRefused tells operators who has come with what proves nothing, and why that is so: for
// those who bar an address that does so all the time, and for those who are asked why
// they cannot log in, which the peer is not told. What is no refusal is not logged.
func LogRefused(log logrus.FieldLogger, from netip.Addr, err error) {
	if message.CodeOf(err) != message.Unauthorized {
		return
	}
	e := message.AsError(err)
	reason := e.Text // where nothing was looked at
	if e.Cause != nil {
		reason = fmt.Sprint(e.Cause)
	}
	if len(reason) > maxReason {
		reason = reason[:maxReason] + "…"
	}
	log.WithFields(logrus.Fields{"client": from, "reason": reason}).Info("a login was refused")
}
