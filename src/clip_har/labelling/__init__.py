"""Which captured pictures to label, the sheet that people label them on, and labels as data to train on."""
