"""How simulated ECGs are made: a 3-D dipole, hearts, rhythms, findings, noise, the real corpora's layouts."""
