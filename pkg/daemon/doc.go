// Package daemon puts the parts together: it makes them from a configuration,
// starts them, reloads what may change while they run, drains and stops them.
// It is the only package that imports everything, and has no logic of theirs.
package daemon
