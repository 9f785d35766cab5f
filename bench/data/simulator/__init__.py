"""How simulated ECGs are made: a 3-D dipole, hearts, rhythms, findings, noise, and the real corpora's file layouts."""
