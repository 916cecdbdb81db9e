"""Chapter 4: parameter-efficient experts on frozen backbones, and their mixture."""
