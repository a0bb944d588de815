// Package attribute works out what sets an attack's requests apart from a site's
// normal visitors, and which measures stop the one and spare the other.
//
// It compares two samples of clients: the normal ones, learned while nothing was
// wrong, and the suspect ones of the incident's last minute. What was observed is
// a mixture, observed = (1-a) normal + a attack; subtracting the normal part
// leaves what the attack is made of. Signatures, conjunctions of up to three
// traits, are mined from the excess, and each is charged with the share of held-out
// normal clients that it would touch. Clients count, not requests: a visitor
// who is stopped once is a visitor lost.
package attribute
