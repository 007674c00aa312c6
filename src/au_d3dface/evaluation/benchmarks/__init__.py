"""Tables 2 to 4: action units against the labels of BP4D and DISFA."""
