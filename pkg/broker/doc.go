// Package broker is the only place that joins rules, engine and hub: whatever
// is published, subscribed to or read passes here, by whichever front door it
// came.
//
// It knows nothing of transports, sessions or wire formats.
package broker
